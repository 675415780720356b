from foretell.airflow.graphs import dags as dags
