"""Routes under /keys."""

from django.urls import path

from apikeys import views

urlpatterns = [
    path("keys/create", views.CreateKeyView.as_view()),
    path("keys", views.KeysView.as_view()),
    path("keys/report", views.ReportView.as_view()),
    path("keys/<int:key_id>", views.KeyView.as_view()),
    path("keys/<int:key_id>/rotate", views.RotateKeyView.as_view()),
    path("keys/<int:key_id>/usage", views.KeyUsageView.as_view()),
]
