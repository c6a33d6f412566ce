"""The portal: pages for people in a browser, over the same read models as the API.

Rules:
1. Every page is whole as the server sends it; scripts make it live, and are not needed to read it.
2. Nothing outside of this machine is asked for, and no script or style stands in a page.
3. Every page has an address that can be shared, with its filters and ranges in it.
4. What a page shows is what its reader may see: it takes a scope, and shows denied where it must.
"""
