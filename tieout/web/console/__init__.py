"""The console: server-rendered pages over the read models of the store."""
