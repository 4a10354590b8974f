"""Routes under /auth, and the published keys."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("auth/signup", views.SignupView.as_view()),
    path("auth/login", views.LoginView.as_view()),
    path("auth/refresh", views.RefreshView.as_view()),
    path("auth/logout", views.LogoutView.as_view()),
    path("auth/me", views.MeView.as_view()),
    path("auth/sessions", views.SessionsView.as_view()),
    path("auth/sessions/<int:session_id>", views.SessionView.as_view()),
    path("auth/password", views.PasswordView.as_view()),
    path("auth/password/reset", views.ResetView.as_view()),
    path("auth/password/reset/confirm", views.ResetConfirmView.as_view()),
    path("auth/email/verify", views.VerificationView.as_view()),
    path("auth/email/verify/confirm", views.VerifyView.as_view()),
    path(".well-known/jwks.json", views.jwks),
]
