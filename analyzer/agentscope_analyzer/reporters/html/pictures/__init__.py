"""The pictures of the report, one a file: each makes itself from the report, or says why not."""
