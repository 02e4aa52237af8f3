"""The TVM backend: every fused region a function of TVM's tensor IR, scheduled here or by a search."""
