"""A certificate authority of our own."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.delivery.servers import HOST


def write_certificates(folder: Path) -> None:
    """ca.pem, and server and client certificates of it; and a stranger's CA with an impostor."""
    for ca, leaves in (("ca", ("server", "client")), ("stranger", ("impostor",))):
        key = ec.generate_private_key(ec.SECP256R1())
        root = _certificate(ca, key, None)
        (folder / f"{ca}.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        for leaf in leaves:
            own = ec.generate_private_key(ec.SECP256R1())
            signed = _certificate(leaf, own, (root, key))
            (folder / f"{leaf}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
            text = own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            (folder / f"{leaf}.key").write_bytes(text)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    names = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    by_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=issuer is None, crl_sign=issuer is None,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(by_id, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(by_key, hashes.SHA256())
    )
