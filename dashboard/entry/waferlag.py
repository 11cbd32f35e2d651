"""What `streamlit run` is given.

It lives in a folder of its own: beside a folder named ``pages`` Streamlit would build a navigation of its own
and run the pages without the frame that dashboard/app.py draws around them.
"""

from dashboard.app import main

main()
