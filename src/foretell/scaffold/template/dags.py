from foretell.airflow import dags

globals().update(dags(__file__))
