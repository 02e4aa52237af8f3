"""TensorRT: the graph as strongly typed ONNX with Q/DQ, and the engine where a library is at hand that builds it."""
