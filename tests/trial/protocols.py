"""A protocol as a region would write it, and the keys that go with it."""

import copy
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import PublicFormat as Public

SHA = "ab" * 32
SITES = ("RXX", "RYY", "RZZ", "RQQ", "RWW")


def key_pair(curve: ec.EllipticCurve | None = None) -> tuple[bytes, bytes]:
    """Private and public, in PEM."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, Public.SubjectPublicKeyInfo)


_DOCUMENT: dict[str, Any] = {
    "trial_id": "prostate-2027",
    "version": 1,
    "title": "Triage of prostate biopsies",
    "design": "silent",
    "opens": "2027-01-04",
    "closes": "2027-06-30",
    "index_test": {
        "model": "prostate", "version": "1.2", "weights_sha256": SHA, "manifest_sha256": SHA,
        "policy_sha256": SHA, "operating_point": 0.62, "score_kind": "uncalibrated_score",
    },
    "target": {
        "condition": "cancer", "reference": "report of two consultants", "positive": ["CANCER"],
        "indeterminate": "exclude",
    },
    "eligible": {
        "organ": "prostate", "specimen": "core biopsy", "stain": "HE", "series": "consecutive"
    },
    "primary": {
        "measure": "sensitivity", "estimand": "operational", "goal": 0.90, "alpha": 0.025,
        "power": 0.8, "expected": 0.95,
    },
    "subgroup": [
        {
            "name": "ethnicity", "column": "ethnic_category", "levels": ["white", "mixed"],
            "reference_level": "white", "kind": "equity", "expected_shares": [0.9, 0.1],
        }
    ],
    "size": {"with_condition": 255, "without": 1020},
    "look": [{"at_cases": 600}, {"at_cases": 1275}],
    "missing": {"reference_missing": "report", "max_share": 0.05},
    "sharing": {"audience": "open", "secure_sum": True},
    "site": [
        {"ods": ods, "key_sha256": f"{k:064x}", "unseal_public": f"{k + 9:064x}"}
        for k, ods in enumerate(SITES)
    ],
}  # fmt: skip


def document() -> dict[str, Any]:
    """A copy, to be spoilt."""
    return copy.deepcopy(_DOCUMENT)
