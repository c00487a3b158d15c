"""From the inference graph to operators; a folder for each target."""
