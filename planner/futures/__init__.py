"""What may happen, as arrays: demand, deliveries, capacity and prices in every sampled future."""
