"""Slides that stay in an archive (PACS), read over DICOMweb."""
