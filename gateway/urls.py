"""Routes that other services call; /auth/verify is answered by ForwardAuthMiddleware, before any route."""

from django.urls import path

from gateway import views

urlpatterns = [
    path("auth/introspect", views.IntrospectView.as_view()),
    path("auth/token", views.ExchangeView.as_view()),
]
