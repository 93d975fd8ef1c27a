"""What every other room stands on: errors, files, processes, signals, quoting and templates."""
