"""HL7 version 2.5.1: an unsolicited observation (ORU^R01) out, acknowledgements and image notices
in."""
