"""Speed, measured side by side in one run: `make bench`. Each row is a ratio or a rate with its spread."""
