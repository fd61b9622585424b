"""FHIR R4 (4.0.1): a transaction of Device, Observation, Task and Provenance.

The Task is the flag: worklists read it.  No ``Flag`` resource is made: R4 requires one to name the
patient, whom no flag of ours names; and a banner over a patient is no place for the order of a
reading list.
"""
