"""The Northwind story: real orders sold through an emulated CRM, with real troubles."""
