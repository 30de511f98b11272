"""What a typed Graph can become: TensorRT networks, and the list of calls that make them."""
