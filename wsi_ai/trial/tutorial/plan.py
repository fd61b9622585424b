"""The tutorial's protocol, keys and reading list, as the region writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from wsi_ai.errors import OutputError
from wsi_ai.trial.documents import Document, key_sha256
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.region.folder import write_private
from wsi_ai.trial.tutorial.population import SCANNERS

LIST = """\
# A made-up reading list: the accuracy of flags comes from the pooled result.

[flags]
sensitivity = 0.9         # both are drawn from the pool instead
specificity = 0.9
after_min = 20

[readers]
number = 4
from_hour = 9
to_hour = 17

[cases]
per_week = 780
with_condition = 0.15
reading_min = 11
reading_condition_min = 18
releases_h = [8, 12, 16]
backlog = 600

[runs]
weeks = 6
number = 12
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Everybody's; in a real trial nobody has them all."""

    private: Mapping[str, bytes]
    """PEM, by name; the region's is ``region``."""
    public: Mapping[str, bytes]
    unseal: Mapping[str, X25519PrivateKey]
    region: X25519PrivateKey
    """Exact counts are encrypted to it."""


def make_keys(sites: tuple[str, ...]) -> Keys:
    private, public = {}, {}
    for name in ("region", *sites):
        key = ec.generate_private_key(ec.SECP256R1())
        private[name] = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public[name] = key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    unseal = {name: X25519PrivateKey.generate() for name in sites}
    return Keys(private, public, unseal, X25519PrivateKey.generate())


def write_keys(keys: Keys, region: Path) -> None:
    """As commands ask for them: ``region.pem``, ``sites/ODS.pub``, ``unseal/ODS.key``."""
    write_private(region / "region.pem", keys.private["region"])
    write_private(region / "region.pub", keys.public["region"])
    write_private(region / "counts.key", keys.region.private_bytes_raw().hex().encode() + b"\n")
    for name, key in keys.unseal.items():
        write_private(region / "sites" / f"{name}.pub", keys.public[name])
        write_private(
            region / "unseal" / f"{name}.key", key.private_bytes_raw().hex().encode() + b"\n"
        )


def make_protocol(sites: tuple[str, ...], keys: Keys, index_test: Document) -> Protocol:
    return Protocol(
        {
            "trial_id": "tutorial-2027",
            "version": 1,
            "title": "Flags for tumour on synthetic slides",
            "registry": "none: it is a tutorial",
            "funder": "none",
            "interests": "none",
            "design": "silent",
            "opens": "2027-01-01",
            "closes": "2027-04-30",
            "index_test": dict(index_test),
            "target": {
                "condition": "tumour",
                "reference": "what was drawn",
                "positive": ["TUMOUR"],
                "indeterminate": "exclude",
            },
            "eligible": {
                "organ": "none",
                "specimen": "synthetic section",
                "stain": "HE",
                "series": "consecutive",
            },
            "primary": {
                "measure": "sensitivity",
                "estimand": "operational",
                "goal": 0.8,
                "alpha": 0.025,
                "power": 0.8,
                "expected": 0.87,
            },
            "secondary": [
                {"measure": "specificity", "estimand": "operational"},
                {"measure": "auroc", "estimand": "operational"},
            ],
            "subgroup": _SUBGROUPS,
            "size": {"with_condition": 300, "without": 900},
            "missing": {"reference_missing": "report", "max_share": 0.1},
            "sharing": {
                "audience": "controlled",
                "agreement": "the tutorial's agreement (made up)",
                "region_public": keys.region.public_key().public_bytes_raw().hex(),
            },
            "site": [
                {
                    "ods": name,
                    "key_sha256": key_sha256(keys.public[name]),
                    "unseal_public": keys.unseal[name].public_key().public_bytes_raw().hex(),
                }
                for name in sites
            ],
        }
    )


_SUBGROUPS = [
    {
        "name": "ethnicity",
        "column": "ethnic_category",
        "levels": ["white", "asian", "black", "mixed", "other", "not_stated"],
        "reference_level": "white",
        "kind": "equity",
        "tolerated": 0.05,
    },
    {
        "name": "age",
        "column": "age",
        "levels": ["0-59", "60-74", "75-"],
        "reference_level": "60-74",
        "kind": "equity",
        "tolerated": 0.05,
    },
    {
        "name": "scanner",
        "column": "scanner",
        "levels": list(SCANNERS),
        "reference_level": SCANNERS[0],
        "kind": "technical",
        "tolerated": 0.05,
    },
]


def new_folder(folder: Path) -> None:
    """Raises OutputError where there is something in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError("the tutorial's folder is not empty: give another one")
    except OSError as error:
        raise OutputError(f"the tutorial's folder cannot be made: {error.strerror}") from None
