"""What an order, an input and a piece of information are worth."""
