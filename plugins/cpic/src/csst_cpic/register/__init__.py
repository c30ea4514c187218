"""What electron multiplication does to charge, and what can be told from it."""
