"""DICOM whole-slide microscopy images."""
