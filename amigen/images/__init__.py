"""The images of an account: which base to build from, what is in use, what has drifted, what can go."""
