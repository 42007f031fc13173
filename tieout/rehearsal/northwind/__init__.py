"""The Northwind story: real orders, sold through an emulated CRM, with the troubles of real life."""
