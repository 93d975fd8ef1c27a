"""EC2 user data: made from a plan, merged with what exists, and explained."""
