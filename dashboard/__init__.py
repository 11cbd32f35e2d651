"""Shows, on screen and on paper. Streamlit lives in app.py, pages/ and components.py only."""
