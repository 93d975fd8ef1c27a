# Without a gate there is nothing to hold and to close.
hold_units() { :; }
close_gate() { :; }
