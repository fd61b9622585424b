"""The demo's weights as a program of torch.export, so that ``wsi-ai models verify`` can hold
PyTorch to what ONNX says.  Prints what the card must say of the file.

    python models/demo-tumour/export_pt2.py
"""

import hashlib
from pathlib import Path

import torch
from network import TumourNet

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "demo-tumour.pt2"


def main() -> None:
    net = TumourNet().eval()
    net.load_state_dict(torch.load(HERE / "demo-tumour.pt", weights_only=True))
    example = torch.zeros((2, 224, 224, 3), dtype=torch.uint8)
    batch = {0: torch.export.Dim("n", min=1)}
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=(batch,)), PROGRAM)
    digest = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
    print(f'[[variants]]\npath = "{PROGRAM.name}"\nformat = "pt2"\nsha256 = "{digest}"')


if __name__ == "__main__":
    main()
