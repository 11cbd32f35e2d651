"""Models and GPUs as numbers: architectures, bytes and FLOPs, roofline."""
