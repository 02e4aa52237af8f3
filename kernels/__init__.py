"""C micro-kernels over a small vector layer, and what the compiler must know about them."""
