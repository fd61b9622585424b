"""An application of a Sectra PACS: what it announces, or a person asks for, becomes a job."""
