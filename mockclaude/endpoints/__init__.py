"""The endpoints beside POST /v1/messages: models, batches, files, counting tokens."""
