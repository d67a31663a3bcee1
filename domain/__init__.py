"""What is sold, ordered and paid for: pure rules, without I/O, clock or await."""
