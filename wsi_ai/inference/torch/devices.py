"""Networks that have a device written into them: a later ``.to(device)`` would not find it."""

from typing import Any

import torch
from torch.export.passes import move_to_device_pass

HOST = torch.device("cpu")


def exported_for(program: Any, device: torch.device) -> Any:
    """A program of ``torch.export`` whose graph makes its tensors there, wherever it was made."""
    return program if device == HOST else move_to_device_pass(program, str(device))


def name_device(module: torch.nn.Module, device: torch.device) -> None:
    """In place of the host, in a scripted or traced module: constants of its graphs, which are
    tensors, or say where one is to be made."""
    for part in module.modules():
        if device == HOST or not hasattr(part, "forward"):
            continue
        graph: Any = part.graph  # kept, for its nodes go with it
        for node in graph.findAllNodes("prim::Constant"):
            kind = node.output().type().kind()
            if kind == "DeviceObjType" and node.s("value") == str(HOST):
                node.s_("value", str(device))
            elif kind == "TensorType" and node.hasAttribute("value"):
                node.t_("value", node.t("value").to(device))
