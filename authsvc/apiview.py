"""The base of the API's views."""

from rest_framework.views import APIView


class ApiView(APIView):
    """A view without OPTIONS, which is CORS's and answered before."""

    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Nothing but what each answer needs; Allow belongs to 405 (RFC 9110, section 15.5.6)."""
        return {}
