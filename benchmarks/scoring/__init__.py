"""What scores of one model differ by: number formats, and the routes of calibrating and asking."""
