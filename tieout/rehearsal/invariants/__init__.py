"""The promises as code: one function each, over what stands in the database and in the twins."""
