"""ONNX models of apps: looked into, loaded, evaluated within a time budget."""
