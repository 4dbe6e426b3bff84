"""The application in Django, with its sessions in Django's own cache for Redis. Each view writes the cart in the session."""

import os

from django.conf import settings

IS_WAITING = os.environ.get("WAIT_FOR_COPY") == "1"

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CACHES={
        "default": {
            "BACKEND": "waiting.WaitingCache" if IS_WAITING else "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
        }
    },
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="bench",
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

LENGTH = 1024
DIGITS = 12


def view(request):
    seen = request.session.get("cart")
    views = (int(seen[:DIGITS]) if seen else 0) + 1
    cart = f"{views:0{DIGITS}};".ljust(LENGTH, "x")
    request.session["cart"] = cart
    return HttpResponse(f"<p>View {views}, a cart of {len(cart)} characters.</p>\n")


urlpatterns = [path("", view)]
application = get_wsgi_application()
