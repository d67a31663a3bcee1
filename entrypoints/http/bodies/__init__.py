"""The JSON of requests and responses. Amounts are in minor units, times are RFC 3339 in UTC."""
