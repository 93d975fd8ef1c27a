"""Replace running nodes by those of a new launch template version, and go back."""
