"""What a person is told of a file that could run code."""

MEANS = (
    "loading it runs whatever code its author put in; give --trust-pickle if you trust whoever made"
    " it, or have the network exported as ONNX or safetensors"
)
