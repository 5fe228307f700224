"""The HTTP side that the three services share: an aiohttp application with everything but the resources.

Here: declaring routes (`api`), validating and documenting them from one source (`decode`, `openapi`), errors
as problem documents (`problems`), what happens around every request (`middlewares`), paging, event streams,
idempotency, and the factory (`app`). Not here: any resource of any service.
"""
