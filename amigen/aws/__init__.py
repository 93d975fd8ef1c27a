"""AWS at the edge: sessions, calls and what their errors mean. Nothing else of amigen makes a client."""
