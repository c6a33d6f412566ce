"""Who may do what, where: principals, permissions, tenants, the scope of data, quotas."""
