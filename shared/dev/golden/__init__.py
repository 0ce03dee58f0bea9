"""Golden replies: recorded exchanges that hold what a schema cannot show."""
