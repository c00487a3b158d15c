"""`target="packed"`: operators of docs/format.md, N bits a weight."""
