"""Taking a result elsewhere: ONNX, PT2 and plain PyTorch scripts, none of which needs trimtab to run."""
