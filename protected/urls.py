"""Routes under /protected."""

from django.urls import path

from protected import views

urlpatterns = [
    path("user", views.UserView.as_view()),
    path("service", views.ServiceView.as_view()),
    path("any", views.AnyView.as_view()),
    path("admin", views.AdminView.as_view()),
    path("reports", views.ReportsView.as_view()),
]
