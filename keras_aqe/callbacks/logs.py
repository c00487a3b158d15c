"""What Keras hands to callbacks."""

from typing import Any

Logs = dict[str, Any] | None
